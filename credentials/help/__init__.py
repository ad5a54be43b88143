"""Help inside the portal: the pages of `docs/help/`, in the language of the reader."""

"""Tags behind the smallest partials of templates."""

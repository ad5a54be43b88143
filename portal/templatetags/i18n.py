"""Django's tags for translations, at no cost where there is one language.

Then the words of a template never change: they are looked up once, when it is compiled, not in every row of
every page. Stands in for Django's library of the same name (`TEMPLATES`).
"""

from django import template
from django.conf import settings
from django.template import Context, Node
from django.template.base import Parser, TextNode, Token, Variable
from django.templatetags import i18n
from django.utils.safestring import SafeString

register = template.Library()
register.tags.update(i18n.register.tags)
register.filters.update(i18n.register.filters)


class NamedText(Node):
    """Words that are known, under the name by which the template goes on to use them."""

    child_nodelists = ()

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    def render(self, context: Context) -> SafeString:
        context[self.name] = self.text
        return SafeString()


@register.tag("translate")
def translate(parser: Parser, token: Token) -> Node:
    """Translate words; a text from the start where they are the same for every reader."""
    node = i18n.do_translate(parser, token)
    words = node.filter_expression
    is_literal = isinstance(words.var, Variable) and words.var.literal is not None
    if settings.USE_I18N or not is_literal or words.filters or node.message_context:
        return node
    name, node.asvar = node.asvar, None
    text = node.render(Context())
    return NamedText(name, text) if name else TextNode(text)

"""The site: ``sphinx-build -W --keep-going docs build/site``, with what ``pip install ".[docs]"`` brings.

Pages are Markdown; the reference is written from docstrings by ``reference.py``, when the site is built.
"""

import re
import sys
from pathlib import Path

import latex2mathml.converter
from docutils.nodes import FixedTextElement, SkipNode, Text, inline, literal

import fastconv

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reference  # noqa: E402

project = "fastconv"
author = copyright = "The fastconv developers"
version = release = fastconv.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["**.ipynb"]

myst_enable_extensions = ["dollarmath", "attrs_block"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

autodoc_typehints = "none"  # docstrings give types with their shapes
autodoc_member_order = "bysource"
add_module_names = False
numpydoc_show_class_members = False
numpydoc_show_inherited_class_members = False
toc_object_entries_show_parents = "hide"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"fastconv {release}"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"light_css_variables": {"font-stack": "system-ui, sans-serif"}}
html_css_files = ["site.css"]
html_static_path = ["_static"]


def mathml(self, node):
    """MathML, which browsers draw by themselves."""
    display = "block" if type(node).__name__ == "math_block" else "inline"
    self.body.append(latex2mathml.converter.convert(node.astext(), display=display))
    raise SkipNode


def keep_numbers(app, tree, page):
    """Have no line end after the hyphen of 2.2e-7, as browsers would in narrow columns of tables."""
    for text in list(tree.findall(Text)):
        parts = re.split(r"(\d+(?:\.\d+)?e-\d+)", text)
        if len(parts) > 1 and not isinstance(text.parent, literal | FixedTextElement):
            pieces = [inline("", part, classes=["number"]) if i % 2 else Text(part) for i, part in enumerate(parts)]
            text.parent.replace(text, [piece for piece in pieces if piece.astext()])


def setup(app):
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("doctree-resolved", keep_numbers)
    app.connect("builder-inited", lambda app: reference.write(HERE / "reference"))

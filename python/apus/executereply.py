"""The result of code that was executed: what it displays as, and its record."""

import sys

_RED, _NORMAL = "\033[0;31m", "\033[0m"


class ExecuteReply:
    """The reply to `execute`.

    execution_count: number of the cell on its engine. metadata: the task's record, whose entries are attributes and items, too.
    It displays as the value of the cell's last expression.
    """

    def __init__(self, message, content):
        self._message = message
        self._content = content
        self.msg_id = message.msg_id
        self.execution_count = content.get("execution_count")

    @property
    def metadata(self):
        return self._message.metadata

    def __getitem__(self, key):
        return self.metadata[key]

    def __getattr__(self, key):
        if key.startswith("__") or key == "_message":
            raise AttributeError(key)
        try:
            return self.metadata[key]
        except KeyError:
            raise AttributeError(key) from None

    def _part(self, key, default):
        return (self.metadata["execute_result"] or {}).get(key, default)

    @property
    def source(self):
        return self._part("source", "")

    @property
    def data(self):
        """The value of the cell: MIME type -> form."""
        return self._part("data", {})

    @property
    def _metadata(self):
        return self._part("metadata", {})

    def display(self):
        """Display it in IPython."""
        from IPython.display import publish_display_data

        publish_display_data(self.data, self._metadata)

    def __repr__(self):
        text = self.data.get("text/plain", "")
        return f"<ExecuteReply[{self.execution_count}]: {text if len(text) <= 32 else text[:29] + '...'}>"

    def _plaintext(self):
        text = self.data.get("text/plain", "")
        if not text:
            return ""
        red, normal = (_RED, _NORMAL) if _is_colored() else ("", "")
        if "\n" in text and not text.startswith("\n"):
            text = "\n" + text
        return f"{red}Out[{self.metadata['engine_id']}:{self.execution_count}]: {normal}{text}"

    def _repr_pretty_(self, p, cycle):
        p.text(self._plaintext())

    def _repr_mimebundle_(self, *args, **kwargs):
        data = self.data
        if "text/plain" in data:
            data = data | {"text/plain": self._plaintext()}
        return data, self._metadata

    def _repr_mime_(self, mime):
        if mime not in self.data:
            return None
        if mime in self._metadata:
            return self.data[mime], self._metadata[mime]
        return self.data[mime]


def _is_colored():
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and shell.colors.lower() != "nocolor"


def _represent(mime):
    return lambda self: self._repr_mime_(mime)


for _name, _mime in {
    "html": "text/html", "markdown": "text/markdown", "latex": "text/latex", "svg": "image/svg+xml", "png": "image/png",
    "jpeg": "image/jpeg", "pdf": "application/pdf", "json": "application/json", "javascript": "application/javascript",
}.items():  # fmt: skip
    setattr(ExecuteReply, f"_repr_{_name}_", _represent(_mime))

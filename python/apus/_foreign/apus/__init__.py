"""The package `apus` for interpreters that it is not installed in.

A wheel puts the package among those of one environment. To lend it to another environment's interpreter, the launcher of engines puts the
directory above on that interpreter's path: it holds this stand-in for the package, and none of the other packages beside it.
"""

import os as _os

__path__ = [_os.path.dirname(_os.path.dirname(_os.path.dirname(_os.path.abspath(__file__))))]
__file__ = _os.path.join(__path__[0], "__init__.py")
with open(__file__, "rb") as _file:
    _source = _file.read()
exec(compile(_source, __file__, "exec"))
del _file, _source

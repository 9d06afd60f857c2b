"""What the launcher preloaded is for this process, not for those that it starts."""


def forget(environment):
    """Take the allocator out of the environment again; what people preload themselves stays.

    `APUS_PRELOADED` names the library that the launcher appended to LD_PRELOAD, and behind a space the MALLOC_CONF it set.
    """
    library, _, settings = environment.pop("APUS_PRELOADED", "").partition(" ")
    if not library:
        return
    others = [name for name in environment.get("LD_PRELOAD", "").replace(" ", ":").split(":") if name and name != library]
    if others:
        environment["LD_PRELOAD"] = ":".join(others)
    else:
        environment.pop("LD_PRELOAD", None)
    if settings and environment.get("MALLOC_CONF") == settings:
        del environment["MALLOC_CONF"]

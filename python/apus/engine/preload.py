"""What the launcher preloaded is for this process, not for those that it starts, and neither is the mark by which it is known."""


def forget(environment):
    """Take the allocator and the mark out of the environment again; what people preload themselves stays.

    `APUS_PRELOADED` names the library that the launcher appended to LD_PRELOAD, and behind a space the MALLOC_CONF it set.
    """
    # By this `apus stop` finds what a launcher had begun when it was killed; what a task starts is none of it.
    environment.pop("APUS_LOCAL_PROCESS", None)
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

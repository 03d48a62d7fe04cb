"""A Plan, a Report, live objects and problems, for people (text, progress, problems) and for machines (data).

Whatever came from a server or a manifest passes through `clean` before a person sees it; a Secret passes nowhere.
"""

"""Plans, reports, live objects and problems to text for people (text, objects, progress, problems) or JSON (data).

Text from a server or a manifest passes through `clean` before it is printed. Secrets are never printed.
"""

"""Plans, reports, live objects and problems to text for people (text, objects, progress, problems) or JSON (data).

Plans also to Markdown (markdown) and HTML (html), in the words that all formats for people share (outline, changes).

Text from a server or a manifest passes through `clean` before it is printed. Secrets are never printed.
"""

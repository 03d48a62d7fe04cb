"""The pages of the documentation, and their YAML blocks as projects that can be loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lettaform.manifest import load
from lettaform.model import Manifest

ROOT = Path(__file__).parents[1]
COMPONENT = """variables: {region: {}, guide: {default: none}}
agents:
  lead: {model: openai/gpt-4o-mini, memory: {persona: "I look after ${var.region}, by ${var.guide}."}}
outputs: {lead_id: "${agents.lead.id}"}
"""
"""What stands for the component of an example."""
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
_BLOCK = re.compile(r"^( *)```yaml(?: (.*))?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_FUNCTION = (
    'def {name}(text: str) -> str:\n    """Do it.\n\n    Args:\n        text (str): A text.\n    """\n    return text\n'
)
_FILES: Mapping[str, str] = {
    r"!file ([^\s,\]}]+)": "A text.\n",
    r"!json ([^\s,\]}]+)": '{"type": "object"}',
    r"!csv ([^\s,\]}]+)": "code,city,language\nann,Paris,French\n",
    r"""file\(["']([^"']+)["']\)""": "A text.\n",
    r"""json\(file\(["']([^"']+)["']\)\)""": '{"settings": {}}',
    r"source: ([^\s,\]}]+\.py)": "",
    r"source: ([^\s,\]}]+\.ts)": "function convert() {}\n",
}
MODELS = "defaults: {agents: {model: openai/gpt-4o-mini}}\n"
MORE: Mapping[str, str] = {
    "docs/from-lettactl.md": "blocks: {shop: {}}\nagents: {clerk: {}}\n",
    "docs/pipelines.md": "",
}
"""A page to what its examples are parts of. Empty: they are no manifests, but files of other programs."""


@dataclass(frozen=True)
class Example:
    """One YAML block of a page. `part`: what is added to make it a whole manifest."""

    page: str
    line: int
    text: str
    part: str

    def write(self, folder: Path) -> None:
        """Write the block as a manifest, with every file that it names."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lettaform.yaml").write_text(self.part + self.text, "utf-8")
        for name, content in self._files():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")

    @property
    def environments(self) -> list[str | None]:
        """What the block can be loaded with: its environments, and none unless it needs one."""
        below = self.text.partition("\nenvironments:")[2].split("\n\n")[0]
        found: list[str | None] = [*re.findall(r"^  (\w+):", below, re.MULTILINE)]
        return [*found, *([] if found and "${environment}" in self.text else [None])]

    def load(self, folder: Path, environment: str | None = None) -> Manifest:
        """The manifest. Environment variables and secrets that it names have values."""
        self.write(folder)
        variables = {name: json.dumps("value") for name in re.findall(r"(\w+): *{secret: true", self.text)}
        environ = dict.fromkeys(re.findall(r"(?:\$\{env\.|env: )(\w+)", self.text), "value")
        return load(folder, environment=environment, environ=environ, variables=variables)

    def _files(self) -> Iterator[tuple[str, str]]:
        for pattern, content in _FILES.items():
            for name in re.findall(pattern, self.text):
                yield name, content or _FUNCTION.format(name=Path(name).stem)
        for name in re.findall(r"use: (\./[\w./-]+)", self.text):
            yield f"{name}/component.yaml", COMPONENT
        for listed, content in (("files", "A text.\n"), ("include", "outputs: {}\n")):
            for items in re.findall(rf"\b{listed}: \[(.*?)\]", self.text):
                for item in items.split(","):
                    name = item.strip().strip('"').removeprefix("!")
                    yield name.replace("**/", "").replace("*", "a"), content


def examples() -> list[Example]:
    """The YAML blocks of all pages that are manifests or parts of one."""
    found = []
    for path in PAGES:
        page, text = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
        for block in _BLOCK.finditer(text):
            if (more := MORE.get(page)) == "" or "component.yaml" in (block[2] or ""):
                continue
            indent, body = len(block[1]), block[3]
            body = "".join(line[indent:] or "\n" for line in body.splitlines(keepends=True))
            line = text.count("\n", 0, block.start()) + 1
            found.append(Example(page, line, body, _missing(body, more or "")))
    return found


def _missing(body: str, more: str) -> str:
    """What a part of a manifest lacks: the stack, and the model of agents."""
    lacks = [] if re.search(r"^stack:", body, re.MULTILINE) else ["stack: example\n"]
    models = [] if re.search(r"^defaults:", body, re.MULTILINE) or "agents:" not in body + more else [MODELS]
    return "".join([*lacks, *models, more])

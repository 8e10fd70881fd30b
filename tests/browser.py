"""Pages as trees of their elements, as a file holds them or as a headless browser makes them; and hostile texts."""

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")


def needs_browser(test):
    return pytest.mark.slow(NO_BROWSER(test))


HOSTILE = [
    "<script>document.title='run'</script>",
    "</script><script>document.title='run'</script>",
    '"><img src=x onerror="document.title=\'run\'">',
    "' onmouseover='document.title=1' x='",
    "</style></title></textarea><svg onload=document.title='run'>",
    "<!-- <b>&lt; &amp;lt; &#60; ]]> -->",
    "${document.title='run'} {{7*7}} $title %s \\u003cscript\\u003e",
    "line\u2028paragraph\u2029\ttab\r\nnew line\n\n  spaces  ",
    "\u202eright to left\u202c שלום 😀",
]


class Node:
    def __init__(self, tag: str, attributes: dict):
        self.tag, self.attributes, self.children = tag, attributes, []

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)

    def all(self, selector: str) -> list["Node"]:
        """The elements below of a tag, or of a class written as `.name`."""
        found = []
        for child in self.children:
            if isinstance(child, Node):
                if child.tag == selector or (selector[0] == "." and selector[1:] in child.classes):
                    found.append(child)
                found += child.all(selector)
        return found

    def one(self, selector: str) -> "Node":
        (found,) = self.all(selector)
        return found


class Tree(HTMLParser):
    """Refuses elements that are not closed as they were opened."""

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]
        self.feed(source)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, dict(attrs))
        assert len(node.attributes) == len(attrs), "an attribute twice"
        self.open[-1].children.append(node)
        if tag not in ("meta", "input", "img"):
            self.open.append(node)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        self.open[-1].children.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")


def context_of(card: Node) -> str:
    return "".join(piece.text() for piece in card.one(".context").all(".text"))


# Opens pages in a frame, one after another, and keeps what each has become after its script has run. Of a visit,
# what follows the first address are fragments that the open page is sent to. All that is folded is unfolded.
HARNESS = """<!DOCTYPE html><meta charset="utf-8"><body><script>
(async () => {
  const seen = [];
  for (const [address, ...fragments] of VISITS) {
    const frame = document.createElement("iframe");
    const loaded = new Promise(done => frame.onload = done);
    frame.src = address;
    document.body.append(frame);
    await loaded;
    const look = async () => {
      for (const folded of frame.contentDocument.querySelectorAll("details:not([open])")) {
        const unfolded = new Promise(done => folded.addEventListener("toggle", done, {once: true}));
        folded.open = true;
        await unfolded;
      }
      seen.push(frame.contentDocument.documentElement.outerHTML);
    };
    await look();
    for (const fragment of fragments) {
      const changed = new Promise(done => frame.contentWindow.addEventListener("hashchange", done, {once: true}));
      frame.contentWindow.location.hash = fragment;
      await changed;
      await look();
    }
    frame.remove();
  }
  const all = document.createElement("pre");
  all.textContent = JSON.stringify(seen);
  document.body.replaceChildren(all);
})();
</script>
"""


def browse(folder: Path, *visits: list[str]) -> list[Node]:
    """Return what pages of a folder become in one run of the browser: one Node for each address of each visit."""
    flags = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
        --disable-component-update --disable-sync --virtual-time-budget=5000 --dump-dom
        --allow-file-access-from-files""".split()  # the last: a page may look into a frame beside it
    harness, profile = folder / "harness.html", folder / "profile"
    harness.write_text(HARNESS.replace("VISITS", json.dumps(visits)), encoding="utf-8")
    run = subprocess.run(
        [CHROMIUM, *flags, f"--user-data-dir={profile}", harness.as_uri()],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    shutil.rmtree(profile, ignore_errors=True)
    sources = json.loads(Tree(run.stdout.decode("utf-8").strip()).root.one("pre").text())
    assert len(sources) == sum(map(len, visits))
    return [Tree(source).root for source in sources]

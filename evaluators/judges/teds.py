"""TEDS: how alike two tables are as trees (Zhong et al. 2020), from HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from rapidfuzz.distance import Levenshtein

from evaluators.judges.base import NO_REFERENCE, SampleScorer, references
from evaluators.score import Sample, Score

# The tree distance grows with the product of the sizes: two trees of 1,500 nodes take some 10 s of one core.
MAX_NODES = 1500
MAX_CHARS = 500_000
_STRUCTURE = frozenset({"table", "thead", "tbody", "tfoot", "tr", "td", "th"})


@dataclass(slots=True)
class Node:
    """A table element; `text` is the content of a cell. `th` counts as `td`, as in the published metric."""

    tag: str
    span: tuple[str, str] = ("1", "1")
    text: str = ""
    children: list[Node] = field(default_factory=list)


class _TableParser(HTMLParser):
    """Builds the tree of the first table; tags inside cells are dropped, their text is kept."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root: Node | None = None
        self.nodes = 0
        self._open: list[Node] = []
        self._closed = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        tag = "td" if tag == "th" else tag
        if tag not in _STRUCTURE or self._closed or (tag == "table" and self.root is not None):
            return
        if self.root is None and tag != "table":
            return
        self._close_implied(tag)
        values = dict(attrs)
        span = (values.get("colspan") or "1", values.get("rowspan") or "1")
        node = Node(tag, span if tag == "td" else ("1", "1"))
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise ValueError(f"the table has more than {MAX_NODES} elements")
        if self.root is None:
            self.root = node
        else:
            self._open[-1].children.append(node)
        self._open.append(node)

    def _close_implied(self, tag: str) -> None:
        """HTML lets the end tags of cells and rows be left out."""
        ends = {"td": {"td"}, "tr": {"td", "tr"}}.get(tag, {"td", "tr", "thead", "tbody", "tfoot"})
        while len(self._open) > 1 and self._open[-1].tag in ends:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        tag = "td" if tag == "th" else tag
        if any(node.tag == tag for node in self._open):
            while self._open.pop().tag != tag:
                pass
            self._closed = not self._open

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1].tag == "td":
            self._open[-1].text += data


def parse_table(html: str) -> Node:
    """The tree of the first table; ValueError without one, or beyond MAX_NODES or MAX_CHARS."""
    if len(html) > MAX_CHARS:
        raise ValueError(f"longer than {MAX_CHARS} characters")
    parser = _TableParser()
    parser.feed(html)
    parser.close()
    if parser.root is None:
        raise ValueError("no <table>")
    return parser.root


def teds_score(a: Node, b: Node, *, structure_only: bool = False) -> float:
    """1 - tree edit distance / nodes of the larger tree."""
    left, right = _Postorder(a), _Postorder(b)
    return 1 - _distance(left, right, structure_only) / max(len(left.nodes), len(right.nodes))


class _Postorder:
    """A tree as Zhang and Shasha (1989) need it: nodes in postorder, leftmost leaves, key roots."""

    def __init__(self, root: Node) -> None:
        self.nodes: list[Node] = []
        self.leftmost: list[int] = []
        self._visit(root)
        last = {leaf: i for i, leaf in enumerate(self.leftmost)}
        self.key_roots = sorted(last.values())

    def _visit(self, node: Node) -> int:
        # Depth is bounded: a table nests four levels, whatever the HTML.
        leaves = [self._visit(child) for child in node.children]
        self.nodes.append(node)
        self.leftmost.append(leaves[0] if leaves else len(self.nodes) - 1)
        return self.leftmost[-1]


def _rename_cost(a: Node, b: Node, structure_only: bool) -> float:
    if a.tag != b.tag or a.span != b.span:
        return 1.0
    if a.tag != "td" or structure_only:
        return 0.0
    return float(Levenshtein.normalized_distance(a.text.strip(), b.text.strip()))


def _distance(a: _Postorder, b: _Postorder, structure_only: bool) -> float:
    trees = [[0.0] * len(b.nodes) for _ in a.nodes]
    for i in a.key_roots:
        for j in b.key_roots:
            _forest(a, b, i, j, trees, structure_only)
    return trees[-1][-1]


def _forest(a: _Postorder, b: _Postorder, i: int, j: int, trees: list[list[float]], structure_only: bool) -> None:
    """Fill in the distances of all subtrees on the left path of the key roots i and j."""
    low_a, low_b = a.leftmost[i], b.leftmost[j]
    width = j - low_b + 2
    previous = [float(column) for column in range(width)]
    rows = [previous]
    for x in range(low_a, i + 1):
        row = [float(x - low_a + 1)] + [0.0] * (width - 1)
        whole_a = a.leftmost[x] == low_a
        for y in range(low_b, j + 1):
            column = y - low_b + 1
            cheapest = min(previous[column], row[column - 1]) + 1
            if whole_a and b.leftmost[y] == low_b:
                cost = previous[column - 1] + _rename_cost(a.nodes[x], b.nodes[y], structure_only)
                row[column] = trees[x][y] = min(cheapest, cost)
            else:
                split = rows[a.leftmost[x] - low_a][b.leftmost[y] - low_b]
                row[column] = min(cheapest, split + trees[x][y])
        rows.append(row)
        previous = row


def teds(*, structure_only: bool = False) -> SampleScorer:
    """TEDS of the answer's table with the closest reference table; `structure_only` leaves cell texts out (TEDS-S)."""

    def judge(sample: Sample) -> Score:
        texts = references(sample)
        if not texts:
            return Score.unscored(NO_REFERENCE)
        try:
            expected = [parse_table(text) for text in texts]
        except ValueError as error:
            return Score.unscored(f"reference: {error}")
        try:
            found = parse_table(sample.answer)
        except ValueError as error:
            return Score(0.0, None, f"answer: {error}", {})
        value = max(teds_score(found, table, structure_only=structure_only) for table in expected)
        return Score(value, None, f"TEDS {value:.4f}", {})

    return SampleScorer("teds", judge, "1", {"structure_only": structure_only})

"""What an HTML page says."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The tags with their attributes, the words outside of style sheets, and the rows of tables as lists of words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.rows = [], [], []
        self._within = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._within.add("cell" if tag in ("td", "th") else tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self._within.discard("cell" if tag in ("td", "th") else tag)

    def handle_data(self, data):
        if "style" not in self._within:
            self.words.append(data)
        if "cell" in self._within:
            self.rows[-1][-1] += data

"""Vectors of pairs of spans."""

from typing import List, Optional

from torch import Tensor, nn

DISTANCES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128)
"""Distances in wordpieces from which another embedding is taken."""


class PairLayer(nn.Module):
    """From the parts of a pair to its vector. The layer is split by its inputs, so that a span is projected once and not once for
    each of its pairs."""

    def __init__(self, width: int, hidden: int, types: int, between: bool, attributes: bool):
        """
        width (int): The size of a span's vector.
        hidden (int): The size of a pair's vector.
        types (int): The number of types of spans; 0 is one that is not known.
        between (bool): Whether there is a vector of what is between the two.
        attributes (bool): Whether types, distance and order are looked at.
        """
        super().__init__()
        self.head, self.child = nn.Linear(width, hidden), nn.Linear(width, hidden, bias=False)
        self.middle = nn.Linear(width, hidden, bias=False) if between else None
        sizes: List[int] = [types + 1, types + 1, len(DISTANCES) + 1, 2] if attributes else []
        embeddings = [nn.Embedding(size, hidden) for size in sizes]
        self.attributes = nn.ModuleList(embeddings)
        for embedding in embeddings:
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(
        self,
        mentions: Tensor,
        types: Tensor,
        heads: Tensor,
        children: Tensor,
        middle: Optional[Tensor],
        distances: Tensor,
        orders: Tensor,
    ) -> Tensor:
        """
        mentions (Tensor): The vectors of spans, (M, width).
        types (Tensor): Their types, (M,).
        heads (Tensor): Which of them is the head, (P,).
        children (Tensor): Which is the child, (P,).
        middle (Optional[Tensor]): The vectors of what is between, (P, width).
        distances (Tensor): The number of each distance, see `DISTANCES`, (P,).
        orders (Tensor): Whether the head comes first, (P,).
        RETURNS (Tensor): The vectors of the pairs, (P, hidden) in float32.
        """
        head, child = self.head(mentions), self.child(mentions)
        if len(self.attributes):
            head, child = head + self.attributes[0](types), child + self.attributes[1](types)
        total = head[heads] + child[children]
        if self.middle is not None:
            total = total + self.middle(middle)
        if len(self.attributes):
            total = total + self.attributes[2](distances) + self.attributes[3](orders)
        return nn.functional.gelu(total).float()

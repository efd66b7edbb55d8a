"""The torch head: one hidden layer on frozen vectors, with scikit-learn's ``fit`` and ``predict_proba``."""

from typing import Any

import numpy as np

from gandt.errors import extra

Array = np.ndarray[Any, np.dtype[Any]]


class Network:
    """A classifier of one hidden layer, learned by Adam on the cross-entropy.

    Parameters
    ----------
    hidden : int
        Units of the hidden layer; 0 for a linear head.
    dropout : float
        Share of hidden units left out in learning.
    rate, decay : float
        Adam's learning rate and weight decay.
    epochs : int
        Passes over the examples.
    batch : int
        Examples per step.
    device : str
        ``auto`` takes a GPU where there is one.
    random_state : int
        Of weights and batches.

    Raises
    ------
    MissingExtraError
        When torch isn't installed.
    """

    def __init__(
        self,
        hidden: int = 64,
        dropout: float = 0.1,
        rate: float = 1e-2,
        decay: float = 1e-4,
        epochs: int = 60,
        batch: int = 128,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.hidden, self.dropout, self.rate, self.decay = hidden, dropout, rate, decay
        self.epochs, self.batch, self.device, self.random_state = epochs, batch, device, random_state
        with extra("gpu", "the classifier torch"):
            import torch  # noqa: F401

    def fit(self, points: Array, targets: Array, sample_weight: Array | None = None) -> "Network":
        """Learn from points (examples, dim), their classes' numbers and weights."""
        import torch

        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        self.classes_, numbers = np.unique(targets, return_inverse=True)
        with torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            dim, classes = points.shape[1], len(self.classes_)
            if self.hidden:
                layers: list[Any] = [torch.nn.Linear(dim, self.hidden), torch.nn.ReLU(), torch.nn.Dropout(self.dropout)]
                layers.append(torch.nn.Linear(self.hidden, classes))
            else:
                layers = [torch.nn.Linear(dim, classes)]
            self.network_ = torch.nn.Sequential(*layers).to(device)
            x = torch.as_tensor(points, dtype=torch.float32, device=device)
            y = torch.as_tensor(numbers, device=device)
            weights = np.ones(len(points)) if sample_weight is None else sample_weight
            w = torch.as_tensor(weights, dtype=torch.float32, device=device)
            optimizer = torch.optim.AdamW(self.network_.parameters(), lr=self.rate, weight_decay=self.decay)
            self.network_.train()
            for _ in range(self.epochs):
                for rows in torch.randperm(len(x)).split(self.batch):
                    loss = torch.nn.functional.cross_entropy(self.network_(x[rows]), y[rows], reduction="none")
                    optimizer.zero_grad()
                    (loss * w[rows]).mean().backward()
                    optimizer.step()
        self.network_.eval()
        return self

    def predict_proba(self, points: Array) -> Array:
        """Return probabilities (items, classes), in the order of ``classes_``."""
        import torch

        with torch.no_grad():
            device = next(self.network_.parameters()).device
            x = torch.as_tensor(points, dtype=torch.float32, device=device)
            found: Array = torch.softmax(self.network_(x), dim=1).cpu().numpy().astype(np.float64)
        return found

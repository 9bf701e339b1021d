"""The reference's log-probabilities, taken once by several processes."""

from __future__ import annotations

from typing import Any


def with_reference(trainer: Any, dataset: Any, batch_size: int) -> Any:
    """Return the dataset with the columns ref_chosen_logps and ref_rejected_logps, in nats, the same on every process.

    Each process takes its share of the rows. TRL 1.16 hands them over in a cache file whose name is drawn anew by each
    process where the dataset is in memory, so only the first one finds it.
    """
    import torch
    from torch.utils.data import DataLoader

    rows = DataLoader(dataset, batch_size=batch_size, collate_fn=trainer.data_collator, shuffle=False)
    taken = []
    for batch in trainer.accelerator.prepare(rows):
        both = trainer.compute_ref_log_probs(trainer.model, batch)
        taken.append(torch.stack(trainer.accelerator.gather_for_metrics(both)).cpu())
    chosen, rejected = torch.cat(taken, dim=1).tolist()
    return dataset.add_column("ref_chosen_logps", chosen).add_column("ref_rejected_logps", rejected)

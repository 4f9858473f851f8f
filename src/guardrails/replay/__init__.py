"""What another policy would have decided: the calls of a record, decided again.

::

    candidate = candidate_of(Path("policies-next"), Config.find())
    found = replay(Path(".guardrails/record.jsonl"), candidate)
    found.tally.flips
"""

from guardrails.candidates import Candidate, candidate_of
from guardrails.replay.recorded import Gap
from guardrails.replay.replaying import Replay, replay
from guardrails.replay.tally import Example, Tally

__all__ = ["Candidate", "Example", "Gap", "Replay", "Tally", "candidate_of", "replay"]

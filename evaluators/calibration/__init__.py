"""What labels of people say about an evaluator's scores: `judge_scores(positive, score, ...)` in `report`."""

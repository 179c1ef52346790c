"""Annotation: people judge answers in queues, agree or do not, correct answers, and set evaluators right."""

"""A project's own mapping rules, in revisions, and the jobs that apply them to spans that are stored already."""

"""What contract tests share: a private chain, tasks with their actors, and Python references of the rules."""

"""From a corpus to rows with explanations: sampling, extraction, the store, teachers."""

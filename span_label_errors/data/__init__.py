"""Read question-answering data from a file, a folder or the Hugging Face Hub, and check every example."""

"""Read question-answering data from a file, a folder or the Hugging Face Hub, check it, and write it again."""

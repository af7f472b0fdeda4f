"""What a task can do; the folder says where it runs."""

"""remedy: diagnose sick servers over SSH, heal them, prove it, and roll it back."""

"""Speed and cost of remedy beside ansible-core, pyinfra and a bare program; see README.md."""

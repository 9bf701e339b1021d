"""What lies in a workspace: runs found, listed, compared, and what nobody needs removed."""

"""What parity knows of networks by Matterport's rules."""

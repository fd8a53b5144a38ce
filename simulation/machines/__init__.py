"""What a world runs on: hosts with processes that can be killed and paused, a network, and simulated stores."""

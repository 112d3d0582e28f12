"""Other forwarders, run on the same files between the same ends: how a program without promises fares."""

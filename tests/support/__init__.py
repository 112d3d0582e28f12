"""What tests share: a clock that obeys, real servers on loopback, a receiver that can misbehave."""

"""What an operator asks of a running set-up: is it scheduled, is there a worker, did it run."""

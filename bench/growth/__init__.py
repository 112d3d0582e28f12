"""What becomes of cost and memory as an installation grows: straight lines, or better, is what is wanted."""

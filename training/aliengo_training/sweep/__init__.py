"""Trade-offs over hyper-parameters: one parameter at a time, each point a short training that is judged."""

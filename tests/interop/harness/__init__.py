"""What the checks stand on: the server, its accounts, clients, and a proxy that cuts connections."""

"""What an installation of OPA has, used here: its server, bundles, services and configuration."""

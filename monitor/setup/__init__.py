"""What IT sets up and looks at before a patient comes: configuration file, certificate, ports."""

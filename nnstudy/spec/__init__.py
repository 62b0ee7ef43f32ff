"""What a study is, as plain data: fields and their values, config files, components, sweeps."""

"""The mesh's example app: things that people own, share and count the letters of. Installed in tests alone."""

"""What `maskrt build` is made of, a file an idea; export/build_engine.py puts it together."""

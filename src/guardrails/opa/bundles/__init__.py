"""Bundles that a service hands out: asked for, verified, kept, handed on where they are sound."""

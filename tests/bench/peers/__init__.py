"""Whom Vigil is measured against."""

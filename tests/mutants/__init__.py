"""Planted faults: does the suite see them?"""

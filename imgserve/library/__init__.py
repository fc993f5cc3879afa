"""The write side: originals and their records change only here."""

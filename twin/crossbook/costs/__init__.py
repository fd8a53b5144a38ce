"""What an exchange costs on AWS a month: counted from the synthesized templates, a traffic profile and a price table.

Owns: the price table (`prices.toml`, dated, with its sources), the profiles (`profiles.toml`), and how traffic becomes
what AWS bills. Pure but for reading those files. An estimate: list prices of us-east-1, no free tiers, no discounts.
"""

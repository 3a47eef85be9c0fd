# SPDX-License-Identifier: MIT
"""LAN forwarding: mail for some addresses goes to named servers of our own network. Spec senders 10."""

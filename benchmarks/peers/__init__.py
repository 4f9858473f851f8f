"""Other engines that decide what `flat` decides, each called as its manual says is fastest."""

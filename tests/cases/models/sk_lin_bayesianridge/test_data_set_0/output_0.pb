BvariableJ<£JC)ŒBäøÉBf™ÔBË.„B
÷BòåBh«€B
³2CD'±B4õÛB`4C÷ !C›¬+Ch5GB
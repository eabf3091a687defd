BvariableJx=4
Aˆ§@H4A°ï±@“IAë’¤@§êA¢â·@6‰ó@ooŽ@ÎnEAšŒAi^AòAîn]Aô'AÄˆaAïÏAÚELA>[A
JA9³ò@Tl–Aæí<A8kANA§hAüA&qiA›:A
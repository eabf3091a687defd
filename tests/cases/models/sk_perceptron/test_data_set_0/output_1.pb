BprobabilitiesJ´P¸”A 
ÍAmffÃ×›A7¸ÖA<3rÃ;
‘AGƒA„\Ã23‡ALfòAFŠ^ÃP¸‚Aƒ™A[¸HÃğQpÁ®‰BcÃYÁÙ£†Á Ü‰B¹Í4Á™EÁœğBo
DÂÛ£PÁºÌ8Bæ=®ÁÆõ<ÁÆ£gB>×Â*\§Ád=@Bò[LBKáèÁ„BšBÎ„MBifœÁikBTÌAKá–Á©_Bl£„A …­ÁkeB(fB
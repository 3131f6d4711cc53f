"""Languages as speech models name them: ISO 639-1 codes, and the English names Whisper answers.

Providers say `en`, `en-US`, `English` or `english` of one and the same: here it is one word.
"""

from typing import Final

# Whisper's languages first, by its names (haw, yue and jw are its own codes), then the rest of
# ISO 639-1; an underscore is a space.
_LISTED: Final = """
    en=english zh=chinese de=german es=spanish ru=russian ko=korean fr=french ja=japanese
    pt=portuguese tr=turkish pl=polish ca=catalan nl=dutch ar=arabic sv=swedish it=italian
    id=indonesian hi=hindi fi=finnish vi=vietnamese he=hebrew uk=ukrainian el=greek ms=malay
    cs=czech ro=romanian da=danish hu=hungarian ta=tamil no=norwegian th=thai ur=urdu
    hr=croatian bg=bulgarian lt=lithuanian la=latin mi=maori ml=malayalam cy=welsh sk=slovak
    te=telugu fa=persian lv=latvian bn=bengali sr=serbian az=azerbaijani sl=slovenian
    kn=kannada et=estonian mk=macedonian br=breton eu=basque is=icelandic hy=armenian ne=nepali
    mn=mongolian bs=bosnian kk=kazakh sq=albanian sw=swahili gl=galician mr=marathi pa=punjabi
    si=sinhala km=khmer sn=shona yo=yoruba so=somali af=afrikaans oc=occitan ka=georgian
    be=belarusian tg=tajik sd=sindhi gu=gujarati am=amharic yi=yiddish lo=lao uz=uzbek
    fo=faroese ht=haitian_creole ps=pashto tk=turkmen nn=nynorsk mt=maltese sa=sanskrit
    lb=luxembourgish my=myanmar bo=tibetan tl=tagalog mg=malagasy as=assamese tt=tatar
    haw=hawaiian ln=lingala ha=hausa ba=bashkir jw=javanese su=sundanese yue=cantonese
    aa=afar ab=abkhazian ae=avestan ak=akan an=aragonese av=avaric ay=aymara bh=bihari
    bi=bislama bm=bambara ce=chechen ch=chamorro co=corsican cr=cree cu=church_slavic
    cv=chuvash dv=divehi dz=dzongkha ee=ewe eo=esperanto ff=fulah fj=fijian fy=western_frisian
    ga=irish gd=scottish_gaelic gn=guarani gv=manx ho=hiri_motu hz=herero ia=interlingua
    ie=interlingue ig=igbo ii=sichuan_yi ik=inupiaq io=ido iu=inuktitut jv=javanese kg=kongo
    ki=kikuyu kj=kuanyama kl=kalaallisut kr=kanuri ks=kashmiri ku=kurdish kv=komi kw=cornish
    ky=kyrgyz lg=ganda li=limburgish lu=luba-katanga mh=marshallese na=nauru
    nb=norwegian_bokmal nd=north_ndebele ng=ndonga nr=south_ndebele nv=navajo ny=chichewa
    oj=ojibwa om=oromo or=odia os=ossetian pi=pali qu=quechua rm=romansh rn=rundi
    rw=kinyarwanda sc=sardinian se=northern_sami sg=sango sm=samoan ss=swati st=sotho
    ti=tigrinya tn=tswana to=tonga ts=tsonga tw=twi ty=tahitian ug=uyghur ve=venda vo=volapuk
    wa=walloon wo=wolof xh=xhosa za=zhuang zu=zulu
"""

NAMES: Final[dict[str, str]] = {
    code: name.replace("_", " ") for code, name in (pair.split("=") for pair in _LISTED.split())
}
"""The English name of each code that may be asked for."""


def name_of(told: str) -> str:
    """The one name of a language, however a provider told it; what is not known stays as it is."""
    text = told.strip().lower()
    return NAMES.get(text) or NAMES.get(text.replace("_", "-").partition("-")[0]) or text

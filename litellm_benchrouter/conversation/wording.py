"""How people say that an answer is wrong, and models that they refuse, in many languages."""

from __future__ import annotations

import re

# Each language has what begins a complaint. `_END` is what a phrase needs behind it, so that it is
# no part of another sentence, as in "that is wrong-headed" or "the incorrect rows".
_END = r"(?=\s*(?:$|[.,!…:;()\n。、，！；：।،؛–—]|- ))"
_FIRST = (
    r"(?:(?:nope|no|nah|sorry|hm+|but|well|hey|ok|okay|i think|i'm afraid|unfortunately|nein|"
    r"leider|aber|non|mais|désolé|pero|mas|nee|maar|nie|ale|нет|но|ні|але|hayır|"
    r"ama)\s*[,.!:;…-]+\s*|(?:but|well|sorry but|i think|i'm afraid|unfortunately|aber|leider|"
    r"mais|pero|mas|maar|ale|но|але|ama)\s+){0,3}"
)
_EN_STILL = r"(?:still|again|just|also|completely|totally|simply|now|clearly|all|all still)"
_EN_DO = r"(?:doesn't|does not|didn't|did not|don't|do not|won't)"
_EN_WORK = r"(?:work|help|compile|build|run|pass|match|load|start|fix|solve|change anything)"
_EN_BAD = r"(?:wrong|incorrect|broken|not (?:right|correct|true|working|fixed|solved|what i))"
_DE_STILL = (
    r"(?:(?:immer noch|noch immer|weiterhin|trotzdem|wieder|leider|aber|doch|so|noch|einfach|"
    r"komplett|völlig|auch)\s+)*"
)
_RU_STILL = r"(?:(?:(?:всё|все) (?:ещё|еще|равно)|опять|снова|по-прежнему|до сих пор)\s+)"
_COMPLAINTS = (
    # English
    r"(?:(?:that|this|it|these|those)(?:'s| is| are| was| looks| seems)?|(?:the|your|my)(?: "
    rf"[\w'-]+){{1,3}} (?:is|are|was|looks|seems)|you(?:'re| are)?)(?: {_EN_STILL})* "
    rf"{_EN_BAD}(?:{_END}| (?:again|now|still|too|asked|meant|wanted|said)\b)",
    rf"(?:that|this|it|these|those|which)(?: {_EN_STILL})* (?:isn't|aren't|wasn't) (?:right|"
    r"correct|true|working|fixed|what i (?:asked|meant|wanted|said))(?![\w-])",
    r"not what i (?:asked|meant|wanted|said)\b",
    rf"(?:(?:that|this|it|they|the(?: [\w'-]+){{1,3}}|your(?: [\w'-]+){{1,3}}|i|we|there)(?:'s| "
    r"is| are|'m| am)? )?still (?:fail(?:s|ing|ed)?|crash(?:es|ing)?|broken|wrong|incorrect|the "
    r"same|(?:get|see|have|got|getting|seeing|having|throws?|gives?|shows?)(?: (?:the|a|an|this|"
    r"that))?(?: same)? (?:error|problem|issue|bug|exception|failure|result)|not (?:right|"
    rf"correct|working|fixed|passing|what)|{_EN_DO} {_EN_WORK}|(?:an |the same "
    rf")?errors?)(?:{_END}| (?:with|on|at|in|for|when|after|as|here|again|and|because|if|now)\b)",
    rf"(?:that|this|it|they|your(?: [\w'-]+){{1,3}}|the(?: [\w'-]+){{1,3}})(?: {_EN_STILL})* "
    rf"{_EN_DO}(?: {_EN_STILL})* {_EN_WORK}(?:{_END}| (?:again|either|at all|it|anymore|for "
    r"me)\b)",
    rf"(?:doesn't|does not|didn't|did not) (?:work|help|compile|build|pass)(?:{_END}| (?:either|"
    r"at all|for me)\b)",
    rf"(?:it|that|this|the(?: [\w'-]+){{1,2}})(?: now)? (?:fails|failed|crashes|crashed) "
    rf"(?:again|still|as before){_END}",
    rf"(?:exactly )?(?:the )?same (?:error|problem|issue|bug|failure|wrong \w+)(?:{_END}| "
    r"(?:again|still|as before|here)\b)",
    r"(?:wrong|incorrect|not (?:right|correct|working)|still not)(?: again| answer| "
    rf"result)?{_END}",
    r"you(?:'ve| have)?(?: just| again| still)* (?:broke\b|broken\b|misunderstood\b|got (?:it|"
    r"that|this) wrong\b|made (?:a|the same) mistake\b|ignored (?:my|what)\b|didn't (?:do|fix|"
    r"answer) (?:it|that|what|my)\b)",
    # German
    r"(?:(?:das|dies|es|deine|ihre|die|der|dein|ihr)(?: [\w-]+)? )?(?:ist|sind|war|bleibt) "
    rf"{_DE_STILL}(?:falsch|verkehrt|inkorrekt|kaputt|nicht (?:richtig|korrekt|das,? was)){_END}",
    r"(?:(?:das|dies|es|da|die|der)(?: [\w-]+)? )?(?:stimmt|stimmen|funktioniert|funktionieren|"
    rf"klappt|kompiliert) {_DE_STILL}nicht(?:{_END}| mehr\b)",
    r"(?:(?:das|es|die|der)(?: [\w-]+)? )?(?:geht|läuft|hilft|laufen) (?:immer noch|noch immer|"
    rf"weiterhin|trotzdem|wieder) nicht{_END}",
    r"(?:(?:das|es|die|der)(?: [\w-]+)? )?(?:schlägt|schlagen) (?:immer noch|noch immer|"
    r"weiterhin|trotzdem|wieder) fehl\b",
    r"(?:immer noch|noch immer|weiterhin|wieder) (?:falsch|kaputt|der(?:selbe| gleiche) fehler|"
    rf"fehlerhaft|ein fehler|nicht (?:richtig|korrekt)){_END}",
    rf"(?:der ?selbe|der gleiche|gleicher|selber) fehler(?:{_END}| (?:wieder|wie)\b)|"
    rf"falsch{_END}|das (?:hat|war) (?:nicht geholfen|nicht das)\b",
    # French
    r"(?:c'est|c'était|ce sont|la réponse est|le résultat est) (?:(?:toujours|encore|"
    r"complètement) )*(?:faux|incorrect|erroné|fausse|incorrecte|pas (?:bon|correct|juste|ça|"
    r"exact|vrai|ce que))\b",
    r"ce n'est (?:(?:toujours|encore) )?pas (?:correct|bon|juste|ça|exact|vrai|ce que)\b",
    r"(?:(?:ça|cela|il|elle|(?:le|la|les|ton|ta|votre) \w+) )?(?:ne )?(?:marche|fonctionne|"
    rf"compile|passe)(?:nt)? (?:(?:toujours|encore) )?pas{_END}",
    r"(?:(?:ça|cela|(?:le|la|les) \w+) )?(?:échoue|plante)(?:nt)? (?:toujours|encore)\b|"
    r"toujours (?:faux|(?:la|le) même (?:erreur|problème))|(?:la |le )?même (?:erreur|"
    rf"problème){_END}|faux{_END}",
    # Spanish, Portuguese
    r"(?:(?:eso|esto|(?:la|el|tu|los|las) \w+) )?(?:está|están|es|sigue|siguen) (?:(?:todavía|"
    r"aún|completamente|estando) )*(?:mal|incorrect[oa]s?|equivocad[oa]s?|erróne[oa]s?|fallando|"
    rf"rot[oa]s?|sin funcionar){_END}",
    r"(?:(?:eso|esto|(?:la|el) \w+) )?(?:(?:todavía|aún|sigue) )?no (?:(?:es|está) "
    rf"(?:correct[oa]|bien|lo que (?:pedí|quería|pregunté))|funciona|compila|sirve)(?:{_END}| "
    r"(?:todavía|aún)\b)",
    r"(?:(?:el|la|los) \w+ )?(?:todavía|aún) (?:falla|fallan|da error)\b|(?:otra vez )?(?:el "
    rf")?mismo (?:error|problema)(?:{_END}| otra vez\b)|incorrecto{_END}",
    r"(?:(?:isso|isto|(?:a|o|os|as|sua) \w+) )?(?:está|estão|tá|é|continua|continuam) "
    r"(?:(?:ainda|completamente) )*(?:errad[oa]s?|incorret[oa]s?|falhando|quebrad[oa]s?|sem "
    rf"funcionar|com erro){_END}",
    r"(?:(?:isso|isto|(?:a|o) \w+) )?(?:ainda )?não (?:(?:é|está) (?:cert[oa]|corret[oa]|o que "
    rf"(?:pedi|eu))|funciona|funcionou|compila)(?:{_END}| ainda\b)",
    r"(?:(?:o|a|os) \w+ )?ainda (?:falha|falham|dá erro|está errado)\b|(?:o )?mesmo (?:erro|"
    rf"problema)(?:{_END}| de novo\b)",
    # Italian, Dutch, Swedish
    r"(?:(?:questo|quello|(?:la|il) \w+) )?(?:è|rimane|risulta) (?:(?:ancora|sempre|"
    rf"completamente) )*(?:sbagliat[oa]|errat[oa]|scorrett[oa]|rott[oa]){_END}|sbagliato{_END}",
    r"(?:(?:questo|(?:la|il) \w+) )?(?:ancora )?non (?:è (?:corrett[oa]|giust[oa]|esatt[oa]|"
    rf"quello che)|funziona|compila)(?:{_END}| ancora\b)|(?:(?:il|la|i) \w+ )?fallisc(?:e|ono) "
    rf"(?:ancora|sempre)\b|(?:lo )?stesso (?:errore|problema)(?:{_END}| di prima\b)",
    r"(?:(?:dat|dit|het|je|de) (?:\w+ )?)?(?:is|zijn) (?:(?:nog steeds|nog altijd|helemaal|"
    rf"weer) )*(?:fout|verkeerd|onjuist|niet (?:goed|juist|correct|wat ik)){_END}|(?:(?:dat|dit|"
    r"het|de \w+) )?(?:klopt|werkt|werken|compileert) (?:(?:nog steeds|nog altijd|weer|ook) "
    rf")*niet{_END}",
    r"(?:(?:dat|het|de \w+) )?(?:faalt|falen|mislukt) nog (?:steeds|altijd)\b|nog (?:steeds|"
    rf"altijd) (?:fout|dezelfde fout|niet goed)|dezelfde fout(?:{_END}| weer\b)",
    r"(?:det (?:är|blir) (?:(?:fortfarande|helt) )*fel|det (?:stämmer|fungerar) (?:fortfarande "
    rf")?inte|fortfarande (?:fel|samma fel)|samma fel){_END}",
    # Polish, Russian, Ukrainian
    r"(?:to (?:jest )?|odpowiedź (?:jest )?|wynik (?:jest )?)?(?:(?:nadal|wciąż|dalej|ciągle) "
    rf")*(?:źle|błędn[aey]|niepoprawn[aey]|nieprawidłow[aey]|nieprawda){_END}|(?:(?:to|test|"
    r"testy|kod) )?(?:(?:nadal|wciąż|dalej|ciągle) )*nie (?:działa|działają|zgadza się|"
    rf"kompiluje się|przechodzi)\b(?:{_END}| nadal)|(?:(?:nadal|wciąż|znowu) )?ten sam błąd",
    rf"(?:(?:это|ответ|результат|код|тест|тесты) )?{_RU_STILL}?(?:неверно|неправильно|не верно|"
    r"не правильно|не так|не то|неправда|не работает|не помогло|не компилируется|(?:та|тот) же "
    rf"(?:ошибка|баг)){_END}",
    rf"(?:(?:это|код|тест|тесты) )?{_RU_STILL}(?:пада[ею]т|ошибка|лома[ею]тся|выдаёт ошибку)\b|"
    r"ты (?:не так понял|ошибся)\b",
    r"(?:(?:це|відповідь|тест|код) )?(?:(?:досі|знову|все ще|і далі) )?(?:неправильно|невірно|"
    rf"не працює|не так|та сама помилка){_END}",
    # Turkish, Vietnamese, Indonesian
    r"(?:(?:bu|bu cevap|cevap|cevabın|sonuç|kod|test|testler) )?(?:(?:hâlâ|hala|yine|tamamen) "
    r")*(?:yanlış|hatalı|doğru değil|çalışmıyor|derlenmiyor|olmadı|geçmiyor|aynı hata|başarısız "
    rf"oluyor)(?: veriyor)?{_END}",
    r"(?:(?:cái này|câu trả lời|kết quả) )?(?:sai rồi|vẫn (?:sai|lỗi|bị lỗi|không (?:đúng|chạy|"
    rf"được))|không đúng){_END}|(?:(?:itu|ini|jawabannya) )?(?:masih )?(?:salah|tidak benar|"
    rf"tidak berfungsi){_END}|masih (?:gagal|error)\b",
    # Chinese, Japanese, Korean
    r"(?:不[,，。]?\s*)?(?:你的?|这个?|這個?|那个?|那個?|答案|结果|結果|代码|程式碼?|测试|測試|"
    r"回答|是)*(?:(?:还是|還是|仍然|依然|仍|又|都|全|完全|也)*(?:不对(?![称等齐应外起])|"
    r"不對(?![稱等齊應外起])|错了|錯了|不正确|不正確|是错的|是錯的|没有解决|沒有解決|没解决|"
    r"不是我(?:想)?要的|不工作|无法运行|無法執行)|(?:还是|還是|仍然|依然|仍|又)(?:会|有|在|"
    r"是)?(?:报错|報錯|失败|失敗|不行|出错|出錯|同样的错误|同樣的錯誤|一样的错误|一样|错误|錯誤|"
    r"没用))(?![吗嗎])",
    r"(?:(?:いいえ|いや|でも)[、,。]?\s*)?(?:それ|これ|答え|結果|コード|テスト|回答)?(?:は|が|"
    r"も)?、?(?:(?:まだ|やはり|やっぱり|また|全然)(?:直って(?:い)?(?:ない|ません)|失敗し|エラー|"
    r"同じ|動(?:か|き)|うまくいか|だめ|ダメ|違)|違います|違う(?=$|[よ。！!、])|"
    r"間違って(?:い)?ま?る?す?|間違い(?:です|だ)|正しくない|正しくありません|動かない(?=$|"
    r"[よ。！!、です])|動きません|同じエラー|うまくいきません|直っていません)(?!か)",
    r"(?:아니(?:요|오|야)?[,.]?\s*)?(?:(?:그건|그거|이건|이거|그게|답이|답은|결과가|테스트가|"
    r"코드가)\s*)?(?:(?:여전히|아직도?|또|계속|자꾸)\s*(?:안\s*(?:돼|되|됩|맞)|틀렸|틀려|실패|"
    r"오류|에러|같은|작동하지|잘못)|틀렸|틀려요|틀립니다|잘못(?:됐|되었|했)|맞지 않(?:아|습)|"
    r"작동하지 않(?:아|습)|작동이? 안 (?:돼|됩)|같은 (?:오류|에러)(?:가|예|입|$))",
    # Arabic, Persian, Hindi
    r"(?:لا\s*[،,.]\s*)?(?:(?:هذا|هذه|الجواب|الإجابة|إجابتك|النتيجة|الكود|"
    r"الاختبار)\s+)?(?:(?:ما زال|ما زالت|لا يزال|لا تزال|مازال)\s+)?(?:خطأ|خاطئ|خاطئة|غير صحيح|"
    r"غير صحيحة|غلط|ليس صحيحا|ليس صحيحًا|لا يعمل|لا تعمل|لم يعمل|لم ينجح|نفس الخطأ|ليس ما طلبت|"
    rf"معطل){_END}|(?:ما زال|ما زالت|لا يزال|لا تزال)\s+(?:\w+\s+)?(?:يفشل|تفشل|الخطأ)",
    rf"(?:این\s+)?(?:هنوز\s+)?(?:اشتباه است|غلط است|درست نیست|کار نمی‌?کند){_END}",
    r"(?:नहीं\s*[,.।]\s*)?(?:(?:यह|ये|वह|जवाब|उत्तर|आपका जवाब|कोड|टेस्ट|परिणाम)\s+)?(?:(?:अभी "
    r"भी|अब भी|फिर भी|फिर से|बिल्कुल|तो)\s+)*(?:(?:गलत|ग़लत)(?:\s+(?:है|हैं|था|उत्तर है))?|"
    r"(?:सही|ठीक) नहीं(?:\s+(?:है|हैं))?|काम नहीं (?:कर रहा|कर रही|करता|किया)(?:\s+है)?|वही "
    rf"(?:गलती|त्रुटि|एरर)(?:\s+है)?){_END}|(?:अभी भी|अब भी|फिर से)\s+(?:फेल|विफल|त्रुटि|एरर)",
)
_COMPLAINT = re.compile(f"{_FIRST}(?:{'|'.join(_COMPLAINTS)})", re.IGNORECASE)
_APPEASED = re.compile(
    r"\b(?:fine|no problem|never ?mind|doesn't matter|all good|thanks|egal|macht nichts|pas grave|"
    r"no importa|não importa|non importa|geeft niet|nieważne|неважно|не важно|sorun değil)\b|"
    r"没关系|沒關係|大丈夫|괜찮|لا بأس|कोई बात नहीं",
    re.IGNORECASE,
)
_QUESTION = re.compile("[?？؟]")
_STOP = re.compile("[.,!;:…。、，！；：।،؛]")
_LONGEST_COMPLAINT = 200  # characters of its first line; what was pasted may follow


def is_complaint(text: str) -> bool:
    """Say whether a person's text begins with the words that the answer before it is wrong."""
    line, _, more = text.lstrip()[: _LONGEST_COMPLAINT + 1].partition("\n")
    if len(line) > _LONGEST_COMPLAINT:
        return False
    complaint = _COMPLAINT.match(line.replace("’", "'"))
    if complaint is None:
        return False
    rest = line[complaint.end() :]
    asks = _QUESTION.search(rest)
    stops = _STOP.search(rest)
    if asks is not None and (stops is None or asks.start() < stops.start()):
        return False
    return bool(more) or _APPEASED.search(rest) is None


_SORRY = (
    r"\W*(?:(?:sorry|i'm (?:very |really |so )?sorry|i am sorry|apologies|unfortunately|no)[,.: "
    r"]+(?:but |that )?)?"
)
_REFUSALS = (
    _SORRY
    + r"i(?: can(?:no|')?t| can not| won't| will not|'m (?:unable|not able) to| am (?:unable|"
    r"not able) to| must decline to) (?:(?:help|assist|comply|engage|continue)(?: you)?(?: with\b|"
    r" in\b|[.!]|$)|(?:fulfil+|do|complete|support|answer|provide|discuss) (?:that|this|such)\b)",
    r"\W*(?:(?:tut mir leid|entschuldigung|leider)[,. ]+(?:aber )?)?(?:(?:dabei|damit|das|hierbei) "
    r"kann ich|ich kann (?:dir |ihnen )?(?:dabei|damit|hierbei)) [^.\n]{0,30}nicht (?:helfen|"
    r"beantworten|weiterhelfen|unterstützen|behilflich)",
    r"\W*(?:(?:désolée?|je suis désolée?)[,. ]+(?:mais )?)?je ne peux pas (?:vous |t'|te "
    r")?(?:aider|"
    r"répondre à (?:cette|votre)|assister)",
    r"\W*(?:lo siento[,. ]+(?:pero )?)?no puedo (?:ayudar|cumplir con|responder a es|asistir)",
    r"\W*(?:(?:desculpe|sinto muito)[,. ]+(?:mas )?)?não posso (?:(?:te |lhe )?ajudar|atender a)",
    r"\W*(?:mi dispiace[,. ]+(?:ma )?)?non posso (?:aiutar|assister)",
    r"\W*(?:(?:sorry|helaas)[,. ]+(?:maar )?)?(?:daar|hier|ik) kan (?:ik )?(?:je |u "
    r")?[^.\n]{0,20}niet "
    r"(?:mee |bij )?helpen",
    r"\W*(?:(?:извините|простите|к сожалению)[,. ]+(?:но )?)?я не могу (?:вам |с этим )*(?:помочь|"
    r"выполнить (?:этот|эту|ваш))",
    r"\W*(?:(?:przykro mi|przepraszam)[,. ]+(?:ale )?)?nie mogę (?:ci |w tym )*pomóc",
    r"\W*(?:üzgünüm[,. ]+(?:ama )?)?(?:bu konuda |buna )(?:size |sana )?yardımcı olamam",
    r"\W*(?:很?抱歉|对不起|對不起)[，,。]?(?:但|但是)?我?(?:无法|不能|無法)(?:协助|帮助|協助|"
    r"幫助|提供|回答|满足)",
    r"\W*(?:申し訳(?:ありません|ございません)|すみません)(?:が)?[、,。][^。\n]{0,40}(?:お手伝い|"
    r"お答え|対応|お応え)"
    r"[^。\n]{0,10}(?:できません|できかねます)",
    r"\W*죄송(?:하지만|합니다만?)[,. ]*[^.\n]{0,40}(?:도와|도움|답변|제공)[^.\n]{0,15}수 없",
    r"\W*(?:عذرًا|عذرا|آسف)[،, ]+[^.\n]{0,15}لا (?:أستطيع|يمكنني) (?:مساعد|المساعد|تقديم)",
    r"\W*(?:क्षमा करें|माफ़ कीजिए|माफ़ करें)[,، ]+[^।\n]{0,30}(?:मदद|सहायता) नहीं कर सकत",
)
_REFUSAL = re.compile("|".join(_REFUSALS), re.IGNORECASE)
_LONGEST_REFUSAL = 600


def is_refusal(text: str) -> bool:
    """Say whether an answer does nothing but refuse."""
    return len(text) <= _LONGEST_REFUSAL and _REFUSAL.match(text.replace("’", "'")) is not None

"""Small question-answering sets in many languages, made from a few sentences each; all of their answers are right.

In a template, `|` stands where nothing in the text shows that a person may begin or end a span: between words that
stand without a space, before a particle, behind a prefix.
"""

import re
import unicodedata
from typing import NamedTuple

NUM_PARAGRAPHS = 10


class Language(NamedTuple):
    """A paragraph with slots, and for each slot its values; a slot with a question is an answer."""

    context: str
    questions: dict[str, str]
    values: dict[str, str]  # separated by "/"


LANGUAGES = {
    # Clitics ("and" is a part of the next word), points, tatweel, native and European digits, its own question mark.
    "Arabic": Language(
        "تقع مدينة {town} على نهر {river}. أسسها التاجر {founder} سنة {year}، وبنى فيها {thing}. فمن يعرف اليوم قصته؟ "
        "عاش فيها الشاعران {poet} و|{other}. يعيش في {town} اليوم نحو {count} نسمة.",
        {
            "town": "أي مدينة تقع على نهر {river}؟",
            "river": "على أي نهر تقع مدينة {town}؟", "founder": "من أسس مدينة {town}؟",
            "year": "متى تأسست مدينة {town}؟", "thing": "ماذا بنى التاجر في المدينة؟",
            "other": "أي شاعر عاش في المدينة مع {poet}؟", "count": "كم نسمة تعيش في {town} اليوم؟",
        },
        {
            "town": "الزهراء/المنصورة/الفيحاء/البيضاء/الرصافة", "river": "الخابور/العاصي/الليطاني/البليخ",
            "founder": "أحمد بن سليم/مُحَمَّد العطار/عبد الله النجار/محمـود الكاتب/خالد بن عمر/يوسف الحدّاد",
            "year": "١٧٤٢/1803/١٨٥٠", "thing": "طاحونة ماء/مدرسة كبيرة/قلعة صغيرة/مكتبة عامة",
            "poet": "سامي/نزار/عادل", "other": "حسن/كريم البصري/عليّ/فؤاد", "count": "١٢٬٥٠٠/7,200/٩٠٠",
        },
    ),
    # Vowel signs, virama, nukta, danda, native digits in groups of two, an abbreviation with a full stop.
    "Hindi": Language(
        "{town} नगर {river} नदी के किनारे बसा है। इसकी स्थापना व्यापारी {founder} ने सन् {year} में की थी। उन्होंने यहाँ {thing} "
        "बनवाया। {doctor} यहाँ के पहले चिकित्सक थे। आज {town} में लगभग {count} लोग रहते हैं।",
        {
            "town": "कौन-सा नगर {river} नदी के किनारे बसा है?",
            "river": "{town} किस नदी के किनारे बसा है?", "founder": "{town} की स्थापना किसने की थी?",
            "year": "{town} की स्थापना कब हुई थी?", "thing": "व्यापारी ने यहाँ क्या बनवाया?",
            "doctor": "नगर के पहले चिकित्सक कौन थे?", "count": "आज {town} में कितने लोग रहते हैं?",
        },
        {
            "town": "रामपुर/चंदनगढ़/लक्ष्मीपुर/कृष्णगढ़/विजयनगर", "river": "गोमती/चंबल/क्षिप्रा/तुंगभद्रा",
            "founder": "हरि प्रसाद/श्रीकृष्ण वर्मा/ईश्वर दत्त/ओम प्रकाश/मोहन लाल", "year": "१७४२/1803/१८५०",
            "thing": "एक बड़ा पुल/पुस्तकालय/एक बाज़ार/पत्थर का किला", "doctor": "डॉ. राघव मिश्र/डॉ. विक्रम सिंह/डॉ. ज़ाकिर ख़ान",
            "count": "१,२५,०००/12,500/९००",
        },
    ),
    # No spaces between words, vowels before and behind their consonant, tone marks, an abbreviation, native digits.
    "Thai": Language(
        "เมือง|{town}|ตั้ง|อยู่|ริม|แม่น้ำ|{river} ผู้|ก่อตั้ง|เมือง|คือ|พ่อค้า|ชื่อ|{founder} ซึ่ง|สร้าง|{thing}|เมื่อ|ปี {year} ปัจจุบัน|มี|"
        "ประชากร|ประมาณ {count} คน สินค้า|ที่|มี|ชื่อเสียง|คือ|{product}|และ|ผล|ไม้",
        {
            "town": "เมืองอะไรตั้งอยู่ริมแม่น้ำ{river}",
            "river": "เมือง{town}ตั้งอยู่ริมแม่น้ำอะไร", "founder": "ใครเป็นผู้ก่อตั้งเมือง{town}",
            "year": "ผู้ก่อตั้งสร้าง{thing}เมื่อปีใด", "thing": "ผู้ก่อตั้งเมือง{town}สร้างอะไร",
            "count": "เมือง{town}มีประชากรประมาณกี่คน", "product": "สินค้าที่มีชื่อเสียงของเมือง{town}คืออะไร",
        },
        {
            "town": "ทุ่งทอง/หนองบัว/ดอยงาม/บ้านไร่/คลองใหม่", "river": "ปิง/น่าน/ยม/ชี",
            "founder": "สมชาย ใจดี/เกษม แก้วน้ำ/วิภา/ไพศาล ศรีทอง", "year": "พ.ศ. ๒๔๖๐/พ.ศ. 2475/2501",
            "thing": "โรง|สี|ข้าว/สะพาน|ไม้/โรง|เรียน|ดนตรี|ไทย/ตลาด|น้ำ", "count": "๑๒,๕๐๐/7,200/๙๐๐",
            "product": "เครื่อง|ปั้น|ดินเผา/ผ้า|ไหม/ข้าว|หอม|มะลิ/ร่ม|กระดาษ",
        },
    ),
    # No spaces at all, full-width digits and punctuation, numbers in characters, a dot within foreign names.
    "Chinese": Language(
        "{town}|位于|{river}|畔|。{year}|，商人|{founder}|在|这里|修建|了|{thing}|。如今|，{town}|约|有|{count}|人|居住|。当地|的|"
        "名产|是|{product}|，远近|闻名|。",
        {
            "town": "什么地方位于{river}畔？",
            "river": "{town}位于哪条河畔？", "year": "{founder}在哪一年修建了{thing}？",
            "founder": "谁在{town}修建了{thing}？", "thing": "{founder}在{town}修建了什么？",
            "count": "如今{town}约有多少人居住？",
            "product": "{town}当地的名产是什么？",
        },
        {
            "town": "青石镇/白云镇/临江城/大桥乡/望月镇", "river": "清水|河/绿玉|江/黄沙|河/白龙|江",
            "year": "1742|年/１８０３|年/一八五〇|年", "founder": "王建国/李秀英/欧阳明/安娜·|贝格/张伟",
            "thing": "水|磨坊/一|座|石|桥/新|书院/戏院", "count": "12,500/１２，５００/三万",
            "product": "青花|瓷器/“|云雾|”|茶/丝绸/竹纸",
        },
    ),
    # Three scripts without spaces, half-width letters with their marks, brackets, iteration and length marks.
    "Japanese": Language(
        "{town}|は|{river}|の|ほとり|に|ある|。{year}|に|商人|の|{founder}|が|{thing}|を|建て|た|。「|町|の|宝|だ|。」|と|人々|は|言う|。"
        "今|の|{town}|に|は|約|{count}|人|が|住む|。名物|は|「|{product}|」|だ|。",
        {
            "town": "{river}のほとりにある町はどこか。",
            "river": "{town}はどの川のほとりにあるか。", "year": "{founder}が{thing}を建てたのはいつか。",
            "founder": "{thing}を建てた商人は誰か。", "thing": "商人の{founder}は何を建てたか。",
            "count": "今の{town}には約何人が住むか。", "product": "{town}の名物は何か。",
        },
        {
            "town": "青葉|町/みどり|町/さくら|市/佐々木|町/レマン|市", "river": "清水|川/ライン|川/ナイル|川/白|川",
            "year": "1742|年/１８０３|年/昭和|三|年",
            "founder": "田中|一郎/アンナ・|ベルク/佐々木|ゆり/カール・|ダール",
            "thing": "水車|小屋/ガラス|工場/大きな|橋/ホテル", "count": "12,500/三千/９００",
            "product": "りんご|ジャム/ラーメン/手織り|の|布/ｶﾞﾗｽ|細工",
        },
    ),
    # Particles stand at the end of the word; right answers leave them out.
    "Korean": Language(
        "{town}|은 {river} 강가|에 있는 도시|이다. {year}|에 상인 {founder}|이 {thing}|를 세웠다. 그|는 {origin}|에서 "
        "왔다. 지금|은 약 {count}명|이 {town}|에 산다. 특산물|은 {product}|이다.",
        {
            "town": "{river} 강가에 있는 도시는 어디인가?",
            "river": "{town}은 어느 강가에 있는가?", "year": "{founder}이 {thing}를 세운 해는 언제인가?",
            "founder": "{thing}를 세운 상인은 누구인가?", "thing": "{founder}이 세운 것은 무엇인가?",
            "origin": "{founder}은 어디에서 왔는가?", "product": "{town}의 특산물은 무엇인가?",
        },
        {
            "town": "부산/대전/수원/춘천/강릉", "river": "한강/낙동강/소양강/금강", "year": "1742년/1803년/1850년",
            "founder": "김서준/박민철/이하윤/정동욱", "thing": "학교/물레방아/악기 가게/비누 회사/다리",
            "origin": "평양/제주/목포/전주", "count": "12,500/7,200/900", "product": "인삼/비단/곶감/종이 우산",
        },
    ),
    # Prefixes of one letter, points, geresh and gershayim (typed in two ways), maqaf.
    "Hebrew": Language(
        "{town} שוכנת על גדות נהר {river}. בשנת {year} הקים בה הסוחר {founder} {thing}. הוא הגיע מ|{origin} אחרי "
        "המלחמה. ב|{town} מתגוררים כיום כ־{count} תושבים.",
        {
            "town": "איזו עיר שוכנת על גדות נהר {river}?",
            "river": "על גדות איזה נהר שוכנת {town}?", "year": "באיזו שנה הקים הסוחר {thing}?",
            "founder": "מי הקים {thing}?", "thing": "מה הקים הסוחר?", "origin": "מאיזו עיר הגיע הסוחר?",
            "count": "כמה תושבים מתגוררים כיום ב{town}?",
        },
        {
            "town": "נווה אור/רמת זית/קריית גל/בית דגן", "river": "הירקון/הקישון/הירדן/השורק",
            "year": "1742/1803/תרע״ד", "founder": 'משה כהן/ד"ר יצחק לוי/דוד בן־ארי/ג׳ורג׳ לוין/אַבְרָהָם מָלִי',
            "thing": "בית ספר/טחנת קמח/גשר אבן/סניף קק״ל", "origin": "חיפה/צפת/עכו/ירושלים",
            "count": "12,500/7,200/900",
        },
    ),
    # The question mark is a semicolon; the letter sigma has another form at the end of a word.
    "Greek": Language(
        "Η πόλη {town} βρίσκεται δίπλα στον ποταμό {river}. Το {year} ο έμπορος {founder} έχτισε {thing}. Ποιος όμως "
        "τον θυμάται σήμερα; Στην πόλη ζουν περίπου {count} κάτοικοι. Το γνωστό προϊόν της είναι {product}.",
        {
            "town": "Ποια πόλη βρίσκεται δίπλα στον ποταμό {river};",
            "river": "Δίπλα σε ποιον ποταμό βρίσκεται η πόλη {town};", "year": "Πότε έχτισε ο έμπορος {thing};",
            "founder": "Ποιος έχτισε {thing};", "thing": "Τι έχτισε ο έμπορος;",
            "count": "Πόσοι κάτοικοι ζουν στην πόλη;", "product": "Ποιο είναι το γνωστό προϊόν της πόλης;",
        },
        {
            "town": "Καστανιά/Νέα Πέτρα/Αμπελιά/Ροδόπολις", "river": "Αλιάκμονα/Στρυμόνα/Έβρο/Πηνειό",
            "year": "1742/1803/1850", "founder": "Γιώργος Παππάς/Νίκος Οικονόμου/Θεόδωρος Καΐρης/Ιωάννης Λύρας",
            "thing": "έναν μύλο/ένα σχολείο/μια γέφυρα/ένα μεγάλο εργοστάσιο", "count": "12.500/7.200/900",
            "product": "το μέλι/το λευκό κρασί/το «χρυσό» λάδι/η φέτα",
        },
    ),
    # Cases, initials, an abbreviation, spaces within numbers that no line breaks at, angle quotes.
    "Russian": Language(
        "Город {town} стоит на реке {river}. В {year} купец {founder} построил здесь {thing}. Сегодня в городе живёт "
        "около {count} человек. Местная газета называется «{paper}».",
        {
            "town": "Какой город стоит на {river}?",
            "river": "На какой реке стоит город {town}?", "year": "Когда купец построил {thing}?",
            "founder": "Кто построил {thing}?", "thing": "Что построил купец?",
            "count": "Сколько человек живёт в городе {town}?", "paper": "Как называется местная газета?",
        },
        {
            "town": "Яснополь/Каменск/Светлогорск/Зареченск", "river": "Волге/Оке/Каме/Северной Двине",
            "year": "1742 г./1803 году/1850 г.", "founder": "Пётр Орлов/И. И. Семёнов/Алексей Фёдоров/Н. В. Щукин",
            "thing": "мельницу/каменный мост/школу/стекольный завод", "count": "12\u00a0500/7\u00a0200/900",
            "paper": "Вечерний город/Маяк/Новая жизнь",
        },
    ),
    # Dotted and dotless i; an apostrophe between a name and its suffix.
    "Turkish": Language(
        "{town}, {river} kıyısında kurulmuş bir kenttir. Tüccar {founder}, {year} yılında burada {thing} yaptırdı. "
        "Ailesi {origin}|'dan gelmişti. Bugün kentte yaklaşık {count} kişi yaşıyor. Kentin en ünlü ürünü {product} "
        "olarak bilinir.",
        {
            "town": "{river} kıyısında hangi kent kurulmuştur?",
            "river": "{town} hangi ırmağın kıyısında kurulmuştur?", "year": "Tüccar hangi yılda {thing} yaptırdı?",
            "founder": "Burada {thing} yaptıran tüccar kimdir?", "thing": "Tüccar burada ne yaptırdı?",
            "origin": "Tüccarın ailesi nereden gelmişti?", "product": "Kentin en ünlü ürünü nedir?",
        },
        {
            "town": "Yeşilova/İncekent/Ilıca/Güzelyurt", "river": "Kızılırmak/Büyük Menderes/Göksu/Seyhan",
            "year": "1742/1803/1850", "founder": "İsmail Işık/Şükrü Çınar/Ilgın Öztürk/Ahmet Yılmaz",
            "thing": "bir değirmen/taş bir köprü/İpek Hanı/ışıklı bir çarşı", "origin": "Isparta/Ankara/Iğdır/Konya",
            "count": "12.500/7.200/900", "product": "kuru incir/fındık/ipek halı/kırmızı biber",
        },
    ),
    # A space between all syllables; accents that are composed in one half of the paragraphs, combining in the other.
    "Vietnamese": Language(
        "{town} là một thị trấn nằm bên sông {river}. Năm {year}, thương gia {founder} xây {thing} tại đây. Ngày nay, "
        "khoảng {count} người sống ở {town}. Đặc sản nổi tiếng là {product}.",
        {
            "town": "Thị trấn nào nằm bên sông {river}?",
            "river": "{town} nằm bên sông nào?", "year": "Thương gia xây {thing} vào năm nào?",
            "founder": "Ai đã xây {thing}?", "thing": "Thương gia đã xây gì tại đây?",
            "count": "Khoảng bao nhiêu người sống ở {town}?", "product": "Đặc sản nổi tiếng của {town} là gì?",
        },
        {
            "town": "Hòa Bình/Bến Đá/Phú Lộc/Mỹ Thủy", "river": "Hồng/Đuống/Hương/Đồng Nai", "year": "1742/1803/1850",
            "founder": "Nguyễn Văn Ân/Trần Thị Mỹ/Lê Hữu Đức/Phạm Ngọc Thạch",
            "thing": "một nhà máy gạo/cây cầu gỗ/một trường học/chợ nổi", "count": "12.500/7.200/900",
            "product": "bánh đậu xanh/nước mắm/lụa tơ tằm/gốm sứ",
        },
    ),
    # Long compounds and case endings.
    "Finnish": Language(
        "{town} on kaupunki {river} rannalla. Kauppias {founder} rakensi sinne {thing} vuonna {year}. Hän oli kotoisin "
        "{origin}. Nykyään kaupungissa asuu noin {count} ihmistä. Tunnetuin tuote on {product}.",
        {
            "town": "Mikä kaupunki on {river} rannalla?",
            "river": "Minkä joen rannalla {town} on?", "founder": "Kuka rakensi {thing}?",
            "thing": "Mitä kauppias rakensi?", "year": "Minä vuonna kauppias rakensi {thing}?",
            "origin": "Mistä kauppias oli kotoisin?", "count": "Kuinka monta ihmistä kaupungissa asuu?",
        },
        {
            "town": "Kivikylä/Jokisuu/Uusi-Pello/Järvenranta", "river": "Kokemäenjoen/Kemijoen/Vantaanjoen/Oulujoen",
            "founder": "Väinö Hyvärinen/Aino Ylä-Anttila/Eeva Mäki/Yrjö Öhman", "year": "1742/1803/1850",
            "thing": "vesimyllyn/kivisillan/lasitehtaan/ensimmäisen rautatieaseman",
            "origin": "Turusta/Tampereelta/Kuopiosta/Porvoosta", "count": "12\u00a0500/7\u00a0200/900",
            "product": "ruisleipä/pellavakangas/lakritsi",
        },
    ),
    # Words that a character without width divides, native digits.
    "Persian": Language(
        "شهر {town} در کنار رود {river} قرار دارد. بازرگانی به نام {founder} در سال {year} {thing} ساخت. امروز حدود "
        "{count} نفر در این شهر زندگی می\u200cکنند. محصول معروف شهر {product} است.",
        {
            "town": "کدام شهر در کنار رود {river} قرار دارد؟",
            "river": "شهر {town} در کنار کدام رود قرار دارد؟", "founder": "چه کسی {thing} ساخت؟",
            "year": "بازرگان در چه سالی {thing} ساخت؟", "thing": "بازرگان چه ساخت؟",
            "count": "چند نفر در این شهر زندگی می\u200cکنند؟", "product": "محصول معروف شهر چیست؟",
        },
        {
            "town": "نوروزآباد/گل\u200cدشت/سنگ\u200cسر/مهرشهر", "river": "کارون/زاینده\u200cرود/ارس/هراز",
            "founder": "علی\u200cرضا کریمی/بهرام نیک\u200cپی/آرش/پروین ژاله", "year": "۱۱۲۱/۱۲۳۰/1275",
            "thing": "یک آسیاب/مدرسه\u200cای بزرگ/کتاب\u200cخانه\u200cای سنگی/پلی چوبی", "count": "۱۲٬۵۰۰/7,200/۹۰۰",
            "product": "پسته/فرش دست\u200cباف/گلاب/زعفران",
        },
    ),
}  # fmt: skip


def examples_of(name: str) -> list[dict]:
    """Return the questions on 10 paragraphs, some 60, in the SQuAD schema."""
    examples = []
    for number in range(NUM_PARAGRAPHS):
        pieces, values = _paragraph(name, number)
        context = "".join(text for _, text in pieces)
        for slot, question in LANGUAGES[name].questions.items():
            before = next(position for position, (of_slot, _) in enumerate(pieces) if of_slot == slot)
            examples.append(
                {
                    "id": f"{name}-{number}-{slot}",
                    "title": values["town"],
                    "context": context.replace("|", ""),
                    "question": question.format(**{name: value.replace("|", "") for name, value in values.items()}),
                    "answers": {
                        "text": [values[slot].replace("|", "")],
                        "answer_start": [len("".join(text for _, text in pieces[:before]).replace("|", ""))],
                    },
                }
            )
    return examples


def places_of(name: str) -> dict[str, set[int]]:
    """Return, by context, the characters before which a person may begin or end a span."""
    found = {}
    for number in range(NUM_PARAGRAPHS):
        parts = "".join(text for _, text in _paragraph(name, number)[0]).split("|")
        context = "".join(parts)
        inside = {place for match in _UNBROKEN.finditer(context) for place in range(match.start() + 1, match.end())}
        marked = {len("".join(parts[:end])) for end in range(len(parts))}
        found[context] = set(range(len(context) + 1)) - inside | marked
    return found


# Letters, marks and digits, with what joins them within a number or a word; written apart from the code that is tested.
_SIGNS = "".join(chr(code) for code in range(0x300, 0xFFFF) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
_UNBROKEN = re.compile(rf"(?:[\w{_SIGNS}\u200c]|(?<=\d)[.,٬，\u00a0](?=\d)|(?<=\w)['\"׳״](?=\w))+")


def _paragraph(name: str, number: int) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the pieces of a paragraph with their slots, "" for none, and the values of all slots."""
    language = LANGUAGES[name]
    form = "NFD" if name == "Vietnamese" and number % 2 else "NFC"
    values = {slot: unicodedata.normalize(form, text).split("/") for slot, text in language.values.items()}
    values = {slot: of_slot[number % len(of_slot)] for slot, of_slot in values.items()}
    # Texts and slots in turn.
    pieces = enumerate(re.split(r"\{(\w+)\}", unicodedata.normalize(form, language.context)))
    return [(piece, values[piece]) if position % 2 else ("", piece) for position, piece in pieces], values
